# What one client may hold is bounded, in the line and on the seats, whatever is free.
policy workers=2..2 client-running=1 client-waiting=2
0ms    start                  -> spawn 0.1 g0, spawn 1.1 g0
1ms    ready 0.1
1ms    ready 1.1
2ms    submit 1 client=1      -> assign 1 0.1
3ms    submit 2 client=1
3ms    submit 3 client=1
       see waiting=2 running=1
4ms    submit 4 client=1      -> refuse 4 ClientLimit
5ms    submit 5 client=2      -> assign 5 1.1
6ms    finish 1.1 5           -> answer 5
7ms    finish 0.1 1           -> answer 1, assign 2 0.1
# A ghost still holds the seat of its client.
8ms    abandon 2              -> interrupt 2 0.1, forget 2
9ms    finish 0.1 2           -> assign 3 0.1
