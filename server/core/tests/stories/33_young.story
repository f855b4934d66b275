# As old as it has to be is old enough.
policy workers=1..1 early=10s
0ms    start                  -> spawn 0.1 g0
1s     ready 0.1
11s    exit 0.1               -> spawn 0.2 g0
