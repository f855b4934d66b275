# Without a grace nobody is interrupted first; and nobody looks at an idle life before its limit.
policy workers=1..1 interrupt=0ms idle=10s
0ms    start                  -> spawn 0.1 g0
1s     ready 0.1
2s     submit 1 client=1      -> assign 1 0.1
3s     finish 0.1 1           -> answer 1
       next 11s
4s     submit 2 client=1      -> assign 2 0.1
5s     drain 1s
6s     wait                   -> kill 0.1 Drain, fail 2 Drained
