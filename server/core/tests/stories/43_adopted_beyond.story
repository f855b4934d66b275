# A pool that was larger has left a life in a slot that this one would not have: it serves there. One in a slot that
# no pool has is nobody.
policy workers=1..1
0ms    adopt 9.3 8192.1
       see 9=STARTING processes=1
1s     resumed 9.3
2s     submit 1 client=1      -> assign 1 9.3
3s     finish 9.3 1           -> answer 1
       see 9=RUNNING processes=1
