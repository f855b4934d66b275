# The death of somebody who was leaving anyway says nothing of its slot.
policy workers=1..1 headroom=1
0ms    start                      -> spawn 0.1 g0
1s     ready 0.1
2s     restart                    -> spawn 1.1 g0
3s     exit 0.1
       see 0=- 1=STARTING
