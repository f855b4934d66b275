# A noisy client delays a quiet one by one call, not by all of its own; and it is the one that is refused.
policy workers=1..1 waiting=5
0ms    start                  -> spawn 0.1 g0
1ms    ready 0.1
2ms    submit 1 client=1      -> assign 1 0.1
3ms    submit 2 client=1
3ms    submit 3 client=1
3ms    submit 4 client=1
3ms    submit 5 client=1
4ms    submit 20 client=2
5ms    submit 21 client=2     -> refuse 5 QueueFull, report Saturated
6ms    submit 30 client=3     -> refuse 4 QueueFull
10ms   finish 0.1 1           -> answer 1, assign 2 0.1
11ms   finish 0.1 2           -> answer 2, assign 20 0.1
12ms   finish 0.1 20          -> answer 20, assign 30 0.1, report Recovered
13ms   finish 0.1 30          -> answer 30, assign 3 0.1
14ms   finish 0.1 3           -> answer 3, assign 21 0.1
15ms   finish 0.1 21          -> answer 21
