# Whoever was to leave first goes first.
policy workers=3..3 headroom=1
0ms    start                  -> spawn 0.1 g0, spawn 1.1 g0, spawn 2.1 g0
1s     ready 0.1
1s     ready 1.1
1s     ready 2.1
2s     restart 2              -> spawn 3.1 g0
3s     restart 1
4s     restart 0
5s     ready 3.1              -> stop 2.1 Restart
6s     exit 2.1               -> spawn 2.2 g0
7s     ready 2.2              -> stop 1.1 Restart
8s     exit 1.1               -> spawn 1.2 g0
9s     ready 1.2              -> stop 0.1 Restart
