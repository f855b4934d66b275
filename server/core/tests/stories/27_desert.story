# Nobody is there: idle lives leave at once, busy ones after their call, and nobody is refused.
policy workers=2..3 headroom=0 spare=1 interrupt=2s stop=5s
0ms    start                       -> spawn 0.1 g0, spawn 1.1 g0
1s     ready 0.1
1s     ready 1.1
2s     submit 1 client=1 on-abandon-finish -> assign 1 0.1
       see processes=2
10s    desert 20s                  -> stop 1.1 Deserted
11s    exit 1.1
       see processes=1
# The caller goes away; its call was told to finish, and does.
12s    abandon 1
13s    finish 0.1 1                -> answer 1, stop 0.1 Deserted
14s    exit 0.1
       see processes=0 phase=Serving
# A call that comes all the same is served, and its worker leaves again.
20s    submit 2 client=2           -> spawn 0.2 g0
21s    ready 0.2                   -> assign 2 0.2
22s    finish 0.2 2                -> answer 2, stop 0.2 Deserted
23s    exit 0.2
30s    wait
# Somebody is there again.
40s    attend                      -> spawn 0.3 g0, spawn 1.2 g0
41s    ready 0.3
41s    ready 1.2
# One may stay warm, and what starts and is not needed goes too.
42s    restart 1                   -> spawn 2.1 g0
43s    amend warm=1
44s    desert 5s                   -> stop 2.1 Deserted, stop 1.2 Restart
45s    exit 2.1
45s    exit 1.2
       see 0=RUNNING processes=1
# At the bound a call that nobody waits for is asked to give up, one with a caller is not.
46s    submit 3 client=1 on-abandon-finish -> assign 3 0.3
46s    submit 4 client=2           -> spawn 1.3 g0
47s    ready 1.3                   -> assign 4 1.3
48s    abandon 3
49s    wait                        -> interrupt 3 0.3, forget 3
50s    finish 0.3 3                -> stop 0.3 Deserted
51s    exit 0.3
# What is abandoned after the bound is over at once.
52s    submit 5 client=1 on-abandon-finish -> spawn 0.4 g0
53s    ready 0.4                   -> assign 5 0.4
54s    abandon 5                   -> interrupt 5 0.4, forget 5
55s    finish 0.4 5                -> stop 0.4 Deserted
56s    exit 0.4
57s    amend warm=0
# Without a bound it has as long as it wants; coming back loses nothing.
60s    desert never
61s    submit 6 client=1 on-abandon-finish -> spawn 0.5 g0
62s    ready 0.5                   -> assign 6 0.5
63s    abandon 6
63s    finish 1.3 4                -> answer 4, stop 1.3 Deserted
64s    exit 1.3
70s    attend                      -> spawn 1.4 g0
