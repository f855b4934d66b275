# Related calls of many clients wait for anyone, until the first of them says which life is theirs.
policy workers=2..2
0ms    start                      -> spawn 0.1 g0, spawn 1.1 g0
1ms    submit 1 client=1 strict=7
1ms    submit 2 client=2 strict=7
1ms    submit 3 client=3 strict=7
2ms    ready 0.1                  -> assign 1 0.1
3ms    ready 1.1
       see waiting=2
4ms    finish 0.1 1               -> answer 1, assign 2 0.1
5ms    finish 0.1 2               -> answer 2, assign 3 0.1
