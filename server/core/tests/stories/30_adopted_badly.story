# Some of those that were left are of other rules than those of now, do not speak, or die before they do.
policy workers=3..3 headroom=1 start-timeout=10s
0ms    adopt 0.1:old 1.5 2.2
1ms    resumed 0.1                 -> spawn 3.1 g0
2ms    submit 1 client=1           -> assign 1 0.1
3ms    exit 2.2
       see 2=BACKOFF
103ms  wait                        -> spawn 2.3 g0
200ms  ready 2.3
300ms  ready 3.1
10s    wait                        -> kill 1.5 StartTimeout
10s    resumed 1.5 call 7 client=1 # too late: nobody knows this call
