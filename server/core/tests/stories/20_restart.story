# An operator asks for fresh lives: all of them one after the other, or one.
policy workers=2..2 headroom=1
0ms    start                  -> spawn 0.1 g0, spawn 1.1 g0
1s     ready 0.1
1s     ready 1.1
2s     restart 1              -> spawn 2.1 g0
       see 0=RUNNING 1=RUNNING/Restart/open
3s     ready 2.1              -> stop 1.1 Restart
4s     exit 1.1
5s     restart                -> spawn 1.2 g0
6s     ready 1.2              -> stop 0.1 Restart
7s     exit 0.1               -> spawn 0.2 g0
8s     ready 0.2              -> stop 2.1 Restart
9s     exit 2.1
       see 0=RUNNING 1=RUNNING 2=- processes=2
# A life that rests is woken.
10s    exit 0.2
       see 0=BACKOFF
10s    restart 0              -> spawn 0.3 g0
