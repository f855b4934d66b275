# More work, more workers, before anybody is refused; less work, fewer.
policy workers=1..3 headroom=0 waiting=1 scale-down=10s stop=1s
0ms    start                  -> spawn 0.1 g0
1s     ready 0.1
2s     submit 1 client=1      -> assign 1 0.1
3s     submit 2 client=1      -> spawn 1.1 g0
4s     submit 3 client=1      -> spawn 2.1 g0, refuse 3 QueueFull, report Saturated
5s     ready 1.1              -> assign 2 1.1, report Recovered
6s     ready 2.1
7s     submit 4 client=1      -> assign 4 2.1
8s     finish 2.1 4           -> answer 4
9s     finish 1.1 2           -> answer 2
10s    finish 0.1 1           -> answer 1
18s    wait                   -> stop 2.1 ScaleDown
18100ms exit 2.1
19s    wait                   -> stop 1.1 ScaleDown
20s    wait                   -> kill 1.1 StopTimeout
21s    exit 1.1
       see 0=RUNNING processes=1
# Warm spares: idle ones beyond the busy ones.
30s    resize spare=1
31s    submit 5 client=1      -> assign 5 0.1, spawn 1.2 g0
32s    ready 1.2
33s    submit 6 client=1      -> assign 6 1.2, spawn 2.2 g0
34s    finish 1.2 6           -> answer 6
35s    ready 2.2
44s    wait                   -> stop 1.2 ScaleDown
44500ms exit 1.2
47s    finish 0.1 5           -> answer 5
55s    wait                   -> stop 2.2 ScaleDown
56s    exit 2.2
# Nobody at all.
66s    resize workers=0..3 spare=0
67s    wait                   -> stop 0.1 ScaleDown
68s    exit 0.1
       see processes=0 phase=Serving
       next never
70s    submit 7 client=1      -> spawn 0.2 g0
71s    ready 0.2              -> assign 7 0.2
