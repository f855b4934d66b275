# Who starts is given back before who serves.
policy workers=3..3 start-timeout=5s
0ms    start                      -> spawn 0.1 g0, spawn 1.1 g0, spawn 2.1 g0
1s     ready 0.1
2s     resize workers=2..2        -> stop 2.1 Resize
3s     exit 2.1
# Who is being killed because it never started is on its way out already: nobody else has to go for it.
5s     wait                       -> kill 1.1 StartTimeout
6s     resize workers=1..1
7s     exit 1.1
       see 0=RUNNING 1=-
