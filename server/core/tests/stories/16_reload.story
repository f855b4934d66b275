# A new generation, start-first: nobody waits, no call is dropped, the old lives leave one by one.
policy workers=2..2 headroom=1
0ms    start                  -> spawn 0.1 g0, spawn 1.1 g0
1s     ready 0.1
1s     ready 1.1
2s     submit 1 client=1      -> assign 1 0.1
3s     reload                 -> spawn 2.1 g1
       see 0=RUNNING/Reload/open 1=RUNNING/Reload/open generation=1
4s     submit 2 client=1      -> assign 2 1.1
5s     finish 1.1 2           -> answer 2
6s     ready 2.1
       see 0=RUNNING/Reload 1=RUNNING/Reload/open
       see processes=3
7s     submit 3 client=1      -> assign 3 2.1
7s     submit 4 client=1      -> assign 4 1.1
8s     finish 0.1 1           -> answer 1, stop 0.1 Reload
9s     exit 0.1               -> spawn 0.2 g1
10s    ready 0.2
11s    finish 1.1 4           -> answer 4, stop 1.1 Reload
12s    exit 1.1               -> report Renewed g1
       see 0=RUNNING 1=- 2=RUNNING
# Again, while one of them has a call that takes long: after a while the others need not wait for it.
13s    reload stop=5s         -> spawn 1.2 g2
14s    submit 5 client=1      -> assign 5 0.2
15s    ready 1.2
       see 0=RUNNING/Reload 2=RUNNING/Reload/open
16s    finish 2.1 3           -> answer 3
20s    wait                   -> stop 2.1 Reload
21s    exit 2.1               -> spawn 2.2 g2
22s    ready 2.2
60s    finish 0.2 5           -> answer 5, stop 0.2 Reload
61s    exit 0.2               -> report Renewed g2
