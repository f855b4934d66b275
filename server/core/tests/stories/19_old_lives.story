# Facts about an old life never change a newer one.
policy workers=1..1
0ms    start                  -> spawn 0.1 g0
1s     ready 0.1
2s     submit 1 client=1      -> assign 1 0.1
3s     exit 0.1               -> fail 1 WorkerDied, spawn 0.2 g0
4s     ready 0.1
       see 0=STARTING
5s     ready 0.2
6s     submit 2 client=1      -> assign 2 0.2
7s     exit 0.1
7s     finish 0.1 2
7s     suspect 0.1
7s     measure 0.1 99999
7s     spawn-failed 0.1
7s     spawn-failed 0.2
       see 0=RUNNING running=1
8s     finish 0.2 2           -> answer 2
9s     ready 7.1
