# A caller goes away: forgotten in the line, interrupted on the seat, and killed if the tool does not give up.
policy workers=1..1 interrupt=2s
0ms    start                              -> spawn 0.1 g0
1s     ready 0.1
2s     submit 1 client=1                  -> assign 1 0.1
2s     submit 2 client=1
3s     abandon 2                          -> forget 2
4s     abandon 1                          -> interrupt 1 0.1, forget 1
       next 6s
4s     abandon 1
# It gives up: the seat is free, nobody is told.
5s     submit 3 client=1
5s     finish 0.1 1                       -> assign 3 0.1
6s     abandon 3                          -> interrupt 3 0.1, forget 3
7s     submit 4 client=1
8s     wait                               -> kill 0.1 Overdue 3
       see 0=STOPPING waiting=1
8s     finish 0.1 3
9s     exit 0.1                           -> spawn 0.2 g0
10s    ready 0.2                          -> assign 4 0.2
# Its own deadline: told at once, then the same ladder.
11s    finish 0.2 4                       -> answer 4
12s    submit 5 client=1 deadline=1s      -> assign 5 0.2
13s    wait                               -> interrupt 5 0.2, fail 5 DeadlineExceeded
14s    finish 0.2 5
# Told to finish: it goes on, in the line and on the seat.
15s    submit 6 client=1 on-abandon-finish -> assign 6 0.2
15s    submit 7 client=1 on-abandon-finish
16s    abandon 6
16s    abandon 7
17s    finish 0.2 6                       -> answer 6, assign 7 0.2
18s    finish 0.2 7                       -> answer 7
