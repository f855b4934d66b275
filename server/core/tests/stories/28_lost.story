# A call may go on when its caller was lost, and yet not when that has hung up.
policy workers=1..1 headroom=0 interrupt=2s
0ms    start                       -> spawn 0.1 g0
1s     ready 0.1
2s     submit 1 client=1 on-loss-finish -> assign 1 0.1
2s     submit 2 client=1 on-loss-finish
2s     submit 3 client=1 on-loss-finish
2s     submit 4 client=1
3s     abandon 1 lost
3s     abandon 2 lost
3s     abandon 3                   -> forget 3
3s     abandon 4 lost              -> forget 4
4s     finish 0.1 1                -> answer 1, assign 2 0.1
5s     abandon 2                   -> interrupt 2 0.1, forget 2
6s     finish 0.1 2
