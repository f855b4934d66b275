# A worker that starts after its rules were changed has the seats of its generation all the same.
policy workers=1..1
0ms    start                      -> spawn 0.1 g0
1s     ready 0.1
2s     amend seats=2
30s    exit 0.1                   -> spawn 0.2 g0
31s    ready 0.2
32s    submit 1 client=1          -> assign 1 0.2
33s    submit 2 client=1
       see waiting=1
