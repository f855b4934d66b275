# A life speaks only of its own calls.
policy workers=2..2
0ms    start                  -> spawn 0.1 g0, spawn 1.1 g0
1s     ready 0.1
1s     ready 1.1
2s     submit 1 client=1      -> assign 1 0.1
3s     finish 1.1 1
       see running=1
4s     finish 0.1 1           -> answer 1
