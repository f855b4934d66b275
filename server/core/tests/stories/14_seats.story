# Several calls on one life: the least busy life first, and the innocent get time before a sibling is killed.
policy workers=2..2 seats=2 interrupt=1s sibling=3s
0ms    start                  -> spawn 0.1 g0, spawn 1.1 g0
1s     ready 0.1
1s     ready 1.1
2s     submit 1 client=1      -> assign 1 0.1
2s     submit 2 client=1      -> assign 2 1.1
2s     submit 3 client=1      -> assign 3 0.1
2s     submit 4 client=1      -> assign 4 1.1
3s     submit 5 client=1
4s     abandon 1              -> interrupt 1 0.1, forget 1
5s     wait
       see 0=RUNNING/Overdue
# The innocent ends: nothing keeps the guilty any more.
6s     finish 0.1 3           -> answer 3, kill 0.1 Overdue 1
7s     exit 0.1               -> spawn 0.2 g0
8s     ready 0.2              -> assign 5 0.2
8s     finish 0.2 5           -> answer 5
9s     abandon 2              -> interrupt 2 1.1, forget 2
10s    wait
# It takes too long.
13s    wait                   -> kill 1.1 Overdue 2, fail 4 SiblingOverdue
14s    exit 1.1               -> spawn 1.2 g0
15s    ready 1.2
# The guilty gives up in time after all: the life is asked to go, as it said it would take no more.
16s    submit 6 client=1      -> assign 6 0.2
16s    submit 7 client=1      -> assign 7 1.2
16s    submit 8 client=1      -> assign 8 0.2
17s    abandon 6              -> interrupt 6 0.2, forget 6
18s    wait
19s    finish 0.2 6
20s    finish 0.2 8           -> answer 8, stop 0.2 Overdue
