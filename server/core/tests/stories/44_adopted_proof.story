# A life that was ready under an earlier daemon has proved its generation, also if it never speaks to this one: whatever
# dies early afterwards is the fault of its slot.
policy workers=1..1 deaths=2
0ms    adopt 0.1
1s     exit 0.1
       see 0=BACKOFF
1100ms wait                   -> spawn 0.2 g0
2s     exit 0.2               -> report SlotFatal 0
       see 0=FATAL
