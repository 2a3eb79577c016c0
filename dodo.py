from sistasks.tasks import *
