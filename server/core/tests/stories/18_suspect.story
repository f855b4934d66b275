# Silence is not death. A silent life gets no new calls; idle and silent for long, it is replaced.
policy workers=2..2 suspect=5s
0ms    start                  -> spawn 0.1 g0, spawn 1.1 g0
1s     ready 0.1
1s     ready 1.1
2s     suspect 0.1
       see 0=RUNNING/suspect
3s     submit 1 client=1      -> assign 1 1.1
4s     recover 0.1
5s     submit 2 client=1      -> assign 2 0.1
6s     suspect 0.1
# Busy and silent: it may be at work. What it says is as good as an answer to a ping.
20s    finish 0.1 2           -> answer 2
       see 0=RUNNING
21s    suspect 0.1
26s    wait                   -> kill 0.1 Stuck
27s    exit 0.1               -> spawn 0.2 g0
28s    ready 0.2
# Waiting calls go to whoever has recovered.
29s    submit 3 client=1      -> assign 3 0.2
30s    finish 0.2 3           -> answer 3
31s    suspect 0.2
32s    submit 4 client=1
33s    recover 0.2            -> assign 4 0.2
