# Without headroom the old life goes first, one at a time, and never in mid-call.
policy workers=2..2 headroom=0 resident=100 idle=10s
0ms    start                  -> spawn 0.1 g0, spawn 1.1 g0
1s     ready 0.1
1s     ready 1.1
2s     submit 1 client=1      -> assign 1 0.1
3s     submit 2 client=1      -> assign 2 1.1
4s     measure 0.1 99
4s     measure 0.1 100
       see 0=RUNNING/Memory
4s     measure 1.1 200
       see 1=RUNNING/Memory/open
5s     finish 1.1 2           -> answer 2
5s     submit 3 client=1      -> assign 3 1.1
6s     finish 1.1 3           -> answer 3
7s     finish 0.1 1           -> answer 1, stop 0.1 Memory
8s     exit 0.1               -> spawn 0.2 g0
9s     ready 0.2              -> stop 1.1 Memory
10s    exit 1.1               -> spawn 1.2 g0
11s    ready 1.2
# Idle for long: only a life that has served has anything to shed.
12s    submit 4 client=1      -> assign 4 0.2
13s    finish 0.2 4           -> answer 4
23s    wait                   -> stop 0.2 Idle
24s    exit 0.2               -> spawn 0.3 g0
25s    ready 0.3
