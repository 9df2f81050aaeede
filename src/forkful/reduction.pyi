from multiprocessing.reduction import *
