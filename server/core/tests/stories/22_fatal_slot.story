# One slot gives up, the others go on: its place is held, and waiting calls may still ask for another.
policy workers=2..3 deaths=2
0ms    start                  -> spawn 0.1 g0, spawn 1.1 g0
1s     ready 0.1
2s     exit 1.1
       see 1=BACKOFF
2100ms wait                   -> spawn 1.2 g0
3s     exit 1.2               -> report SlotFatal 1
       see 0=RUNNING 1=FATAL phase=Serving
4s     submit 1 client=1      -> assign 1 0.1
5s     submit 2 client=1      -> spawn 2.1 g0
6s     ready 2.1              -> assign 2 2.1
# Pardoned; but there are enough without it.
7s     restart 1
       see 1=-
8s     submit 3 client=1      -> spawn 1.3 g0
9s     ready 1.3              -> assign 3 1.3
