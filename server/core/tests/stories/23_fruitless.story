# A death in mid-call is blamed on the call; lives that never finish anything are blamed on the slot.
policy workers=1..1
0ms    start                  -> spawn 0.1 g0
1s     ready 0.1
1s     submit 1 client=1      -> assign 1 0.1
2s     exit 0.1               -> fail 1 WorkerDied, spawn 0.2 g0
3s     ready 0.2
3s     submit 2 client=1      -> assign 2 0.2
4s     exit 0.2               -> fail 2 WorkerDied, spawn 0.3 g0
5s     ready 0.3
5s     submit 3 client=1      -> assign 3 0.3
6s     exit 0.3               -> fail 3 WorkerDied
       see 0=BACKOFF
       next 6100ms
6100ms wait                   -> spawn 0.4 g0
7s     ready 0.4
7s     submit 4 client=1      -> assign 4 0.4
7s     finish 0.4 4           -> answer 4
8s     submit 5 client=1      -> assign 5 0.4
9s     exit 0.4               -> fail 5 WorkerDied, spawn 0.5 g0
