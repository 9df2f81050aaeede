from multiprocessing.popen_spawn_posix import *
