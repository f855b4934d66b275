# Somebody else waits for the same call, and longer: the later deadline holds, for one that waits and for one that runs.
policy workers=1..1 headroom=0 interrupt=2s
0ms    start                       -> spawn 0.1 g0
1s     ready 0.1
2s     submit 1 client=1 deadline=1s -> assign 1 0.1
2s     submit 2 client=1 deadline=2s
2s     extend 1 3s
2s     extend 2 1s
       next 4s
3s     extend 2 4s
4s     extend 2
5s     wait                        -> interrupt 1 0.1, fail 1 DeadlineExceeded
5500ms extend 1 9s
6s     finish 0.1 1                -> assign 2 0.1
60s    finish 0.1 2                -> answer 2
