# Everything ends within the bound: idle at once, calls may finish, then they are asked, then killed.
policy workers=3..3 interrupt=2s stop=5s
0ms    start                  -> spawn 0.1 g0, spawn 1.1 g0, spawn 2.1 g0
1s     ready 0.1
1s     ready 1.1
2s     submit 1 client=1      -> assign 1 0.1
2s     submit 2 client=1      -> assign 2 1.1
2s     submit 3 client=1
10s    drain 10s              -> refuse 3 Draining, stop 2.1 Drain
       see phase=Draining 0=RUNNING/Drain 2=STOPPING
11s    submit 4 client=1      -> refuse 4 Draining
12s    exit 2.1
13s    finish 0.1 1           -> answer 1, stop 0.1 Drain
18s    wait                   -> interrupt 2 1.1, kill 0.1 StopTimeout
19s    exit 0.1
20s    wait                   -> kill 1.1 Drain, fail 2 Drained
21s    exit 1.1               -> halt
       see phase=Drained processes=0
22s    submit 5 client=1      -> refuse 5 Draining
23s    restart
# It was a mistake.
30s    resume                 -> spawn 0.2 g0, spawn 1.2 g0, spawn 2.2 g0
31s    ready 0.2
32s    submit 6 client=1      -> assign 6 0.2
# The second signal ends it at once.
33s    drain 60s              -> stop 1.2 Drain, stop 2.2 Drain
34s    drain 0                -> kill 0.2 Drain, fail 6 Drained, kill 1.2 Drain, kill 2.2 Drain
35s    exit 0.2
35s    exit 1.2
35s    exit 2.2               -> halt
