# What is remembered is bounded: the key not used for longest, the oldest strike, go first.
policy workers=2..2 keys=2 struck-keys=1
0ms    start                         -> spawn 0.1 g0, spawn 1.1 g0
1s     ready 0.1
1s     ready 1.1
2s     submit 1 client=1             -> assign 1 0.1
3s     submit 2 client=1 strict=7    -> assign 2 1.1
3s     finish 1.1 2                  -> answer 2
4s     submit 3 client=1 strict=8    -> assign 3 1.1
4s     finish 1.1 3                  -> answer 3
       see bound=2
5s     submit 4 client=1 strict=7    -> assign 4 1.1
5s     finish 1.1 4                  -> answer 4
6s     submit 5 client=1 strict=9    -> assign 5 1.1
6s     finish 1.1 5                  -> answer 5
       see bound=2
6s     finish 0.1 1                  -> answer 1
# 8 was forgotten, 7 was not.
7s     submit 6 client=1 strict=8    -> assign 6 0.1
7s     finish 0.1 6                  -> answer 6
8s     submit 7 client=1 strict=9    -> assign 7 1.1
8s     finish 1.1 7                  -> answer 7
# Strikes of many keys: only the last is remembered.
9s     submit 8 client=1 key=1       -> assign 8 0.1
9s     submit 9 client=1 key=2       -> assign 9 1.1
10s    exit 0.1                      -> fail 8 WorkerDied, spawn 0.2 g0
10s    exit 1.1                      -> fail 9 WorkerDied, spawn 1.2 g0
       see struck=1
11s    ready 0.2
12s    submit 10 client=1 key=1      -> assign 10 0.2
13s    exit 0.2                      -> fail 10 WorkerDied, spawn 0.3 g0
       see struck=1
