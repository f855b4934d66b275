# New rules hold at once for the line: who held too much is parked, who is parked no longer goes on.
policy workers=2..2 headroom=0 client-running=1 waiting=4
0ms    start                  -> spawn 0.1 g0, spawn 1.1 g0
1s     ready 0.1
1s     ready 1.1
2s     submit 1 client=1      -> assign 1 0.1
2s     submit 2 client=1
2s     submit 3 client=1
3s     reload client-running=2 -> assign 2 1.1
# Stop-first: one of the old two is closed as soon as the reload comes.
       see 0=RUNNING/Reload 1=RUNNING/Reload/open
4s     reload client-running=1 waiting=0 -> refuse 3 QueueFull, report Saturated
5s     finish 1.1 2           -> answer 2
6s     submit 4 client=1      -> refuse 4 QueueFull
7s     submit 5 client=2      -> assign 5 1.1, report Recovered
