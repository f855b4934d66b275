# Rules that hold without a new generation: nobody is replaced, nothing is dropped.
policy workers=1..1 headroom=0 waiting=1
0ms    start                  -> spawn 0.1 g0
1s     ready 0.1
2s     submit 1 client=1      -> assign 1 0.1
2s     submit 2 client=1
2s     submit 3 client=1      -> refuse 3 QueueFull, report Saturated
3s     amend waiting=4 workers=2..2 -> spawn 1.1 g0
       see 0=RUNNING generation=0
4s     submit 4 client=1
5s     ready 1.1              -> assign 2 1.1, report Recovered
6s     finish 0.1 1           -> answer 1, assign 4 0.1
# Seats belong to the generation: they stay.
7s     amend seats=4
7s     submit 5 client=1
       see 0=RUNNING 1=RUNNING
8s     finish 1.1 2           -> answer 2, assign 5 1.1
9s     amend workers=1..1
