# Related calls stay on one life: if they can (hint), or else wait (strict), or else are refused (fail-fast).
policy workers=2..2
0ms    start                        -> spawn 0.1 g0, spawn 1.1 g0
1ms    ready 0.1
1ms    ready 1.1
2ms    submit 1 client=1 strict=7   -> assign 1 0.1
       see bound=1
3ms    submit 2 client=1 strict=7
4ms    submit 3 client=1 hint=7     -> assign 3 1.1
5ms    submit 4 client=2 fail-fast=7 -> refuse 4 AffinityBusy
6ms    finish 1.1 3                 -> answer 3
       see waiting=1
7ms    finish 0.1 1                 -> answer 1, assign 2 0.1
8ms    finish 0.1 2                 -> answer 2
9ms    submit 5 client=1            -> assign 5 0.1
10ms   submit 6 client=1            -> assign 6 1.1
11ms   finish 0.1 5                 -> answer 5
12ms   finish 1.1 6                 -> answer 6
13ms   submit 7 client=2 fail-fast=8 -> assign 7 0.1
14ms   finish 0.1 7                 -> answer 7
15ms   submit 8 client=2 hint=7     -> assign 8 0.1
16ms   submit 9 client=2 strict=7
# The life dies: what waited for it is told so, the key is free again.
17ms   exit 0.1                     -> fail 8 WorkerDied, refuse 9 AffinityLost, spawn 0.2 g0
       see bound=0
18ms   submit 10 client=2 strict=7  -> assign 10 1.1
19ms   submit 11 client=2 strict=7
20ms   ready 0.2
       see waiting=1
# A planned end loses nothing: those who waited for it go to the others.
21ms   resize workers=1..1          -> stop 0.2 Resize
22ms   exit 0.2
23ms   finish 1.1 10                -> answer 10, assign 11 1.1
24ms   finish 1.1 11                -> answer 11
25ms   submit 12 client=2 fail-fast=7 -> assign 12 1.1
