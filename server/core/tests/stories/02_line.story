# The line is bounded, has priorities, and a call whose deadline passed in it is never started.
policy workers=1..1 waiting=3
0ms    start                          -> spawn 0.1 g0
1ms    ready 0.1
2ms    submit 1 client=1              -> assign 1 0.1
3ms    submit 2 client=1
4ms    submit 3 client=1 low
5ms    submit 4 client=1 deadline=20ms
       next 25ms
# Full. One client alone loses its newest, least urgent call.
6ms    submit 5 client=1 high         -> refuse 3 QueueFull, report Saturated
7ms    submit 6 client=1              -> refuse 6 QueueFull
25ms   wait                           -> refuse 4 DeadlinePassed
26ms   submit 7 client=1 deadline=0   -> refuse 7 DeadlinePassed
# An id that is known is ignored.
27ms   submit 2 client=9
30ms   finish 0.1 1                   -> answer 1, assign 5 0.1, report Recovered
31ms   finish 0.1 5                   -> answer 5, assign 2 0.1
32ms   abandon 99
