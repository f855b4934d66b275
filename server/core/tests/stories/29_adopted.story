# A daemon is succeeded by another one: its lives are there, and what they do is not known at once.
policy workers=2..3 headroom=1 interrupt=1s start-timeout=10s
0ms    adopt 0.4 1.2               # two are there: nobody is spawned
       see phase=Serving
100ms  submit 9 client=1           # they will have seats: nobody else is needed
200ms  resumed 0.4 call 3 client=7 on-abandon-finish call 4 client=7
       see 0=RUNNING
200ms  abandon 3 lost              # nobody waits for it, and it is to finish
200ms  abandon 4 lost              -> interrupt 4 0.4, forget 4
300ms  resumed 1.2                 -> assign 9 1.2
400ms  finish 0.4 3                -> answer 3
500ms  finish 1.2 9                -> answer 9
600ms  finish 0.4 4                # its seat is free now
700ms  submit 10 client=1          -> assign 10 0.4
       see running=1
