# A pool starts its worker, runs a call, and takes the next one when the seat is free.
policy workers=1..1 headroom=0 waiting=2
0ms    start                    -> spawn 0.1 g0
       see 0=STARTING phase=Serving processes=1
       next 60s
100ms  submit 1 client=1
       see waiting=1
200ms  ready 0.1                -> assign 1 0.1
       see 0=RUNNING waiting=0 running=1
210ms  submit 2 client=1
220ms  finish 0.1 1             -> answer 1, assign 2 0.1
230ms  finish 0.1 2             -> answer 2
# Said twice, or of a call that is unknown, it changes nothing.
240ms  finish 0.1 2
250ms  finish 0.1 77
260ms  ready 0.1
