from multiprocessing.popen_fork import *
