# With headroom the replacement stands before the old life goes; until then the old one serves.
policy workers=1..1 headroom=1 calls=3 spread=50 stop=1s age=100s
0ms    start                  -> spawn 0.1 g0
1s     ready 0.1 jitter=max
2s     submit 1 client=1      -> assign 1 0.1
3s     finish 0.1 1           -> answer 1
# Half of the dice away from three: the second call sends for a replacement.
4s     submit 2 client=1      -> assign 2 0.1, spawn 1.1 g0
       see 0=RUNNING/Calls/open
5s     finish 0.1 2           -> answer 2
6s     submit 3 client=1      -> assign 3 0.1
       see 0=RUNNING/Calls
7s     submit 4 client=1
# The written limit holds, replacement or not; and it is not stopped in mid-call.
8s     ready 1.1              -> assign 4 1.1
9s     finish 0.1 3           -> answer 3, stop 0.1 Calls
10s    wait                   -> kill 0.1 StopTimeout
11s    exit 0.1
12s    finish 1.1 4           -> answer 4
# Age, without the dice: in time the other way round.
108s   wait                   -> spawn 0.2 g0
       see 1=RUNNING/Age/open
109s   submit 5 client=1      -> assign 5 1.1
110s   ready 0.2
       see 1=RUNNING/Age
111s   finish 1.1 5           -> answer 5, stop 1.1 Age
112s   exit 1.1
