r"""The channel programs (zfs-program(8)), as text. `layerfs.zfs.answers` reads what they return.

Both ways to ZFS run the same programs. The arguments are strings, ``argv``, all that the command
can pass. The answer is one string of printable ASCII without quotes or backslashes, so that the
command's JSON needs no JSON parser: rows end at ``;``, fields at a space, other bytes are ``%XX``,
and ``~`` is nil. A refusal is ``!ERRNO NAME``.

The kernel counts the instructions of the Lua interpreter, and looks every hundred whether a signal
has come: then it stops the program where it is, in the middle of what it changes. So changes are
not made from a Lua loop, but by ``string.gsub`` with the changing function as its replacement: that
is one instruction, within which nothing stops.

A pool logs each program with its answer, up to a megabyte, in its history, those that only read as
well: programs are short, and answers compact.
"""

from __future__ import annotations

from typing import Final

#: The most that the module allows (zfs-program(8)); its own defaults are a tenth.
INSTRUCTIONS: Final = 100_000_000
MEMORY: Final = 100 * 1024 * 1024
#: A page of a listing: what one program returns at most, and holds the pool's configuration for.
PAGE_ROWS: Final = 2000
PAGE_BYTES: Final = 4 * 1024 * 1024
MOST_PAGES: Final = 4096

# No %w: to the kernel's isalnum(), letters of Latin-1 are some too.
_PRELUDE: Final = r"""
local a=(...)["argv"]
local o={}
local function q(v)
if v==nil then return "~" end
return (tostring(v):gsub("[^A-Za-z0-9_.:/@+,-]",function(c)return ("%%%02X"):format(c:byte())end))
end
local function add(...)
local r={...}
for i=1,select("#",...) do r[i]=q(r[i]) end
o[#o+1]=table.concat(r," ")
return #o[#o]
end
local function no(e,d) return "!"..e.." "..q(d) end
"""

DESTROY: Final = _PRELUDE + (
    r"""
local e=zfs.sync.destroy(a[1])
if e~=0 then return no(e,a[1]) end
return ""
"""
)

PROMOTE: Final = _PRELUDE + (
    r"""
local e,x=zfs.sync.promote(a[1])
if e==0 then return "" end
if e==EEXIST and x and x[1] then return no(e,a[1].."@"..x[1]) end
return no(e,a[1])
"""
)

#: argv: "defer" or "now", snapshots. A snapshot that is not there is no failure.
DESTROY_SNAPSHOTS: Final = _PRELUDE + (
    r"""
local later=table.remove(a,1)=="defer"
for _,s in ipairs(a) do
local e=zfs.check.destroy{s,defer=later}
if e~=0 then return no(e,s) end
end
local f=zfs.sync.destroy
if later then f=function(s) return zfs.sync.destroy{s,defer=true} end end
local r=table.concat(a,"\0"):gsub("[^\0]+",f)
local i=0
for e in r:gmatch("%d+") do
i=i+1
if e~="0" then return no(e,a[i]) end
end
return ""
"""
)

#: argv: dataset, then "=" name value for each to set, "-" name for each to take away.
SET: Final = _PRELUDE + (
    r"""
local d=a[1]
if not zfs.exists(d) then return no(ENOENT,d) end
local w,x,i={},{},2
while a[i] do
local p,e=a[i+1]
if a[i]=="=" then
e=zfs.check.set_prop(d,p,a[i+2])
w[#w+1]=d.."\0"..p.."\0"..a[i+2]
i=i+3
else
e=zfs.check.inherit(d,p)
x[#x+1]=d.."\0"..p
i=i+2
end
if e~=0 then return no(e,d) end
end
local r=table.concat(w,"\0"):gsub("([^\0]+)\0([^\0]+)\0([^\0]*)",zfs.sync.set_prop)
r=r.."\0"..table.concat(x,"\0"):gsub("([^\0]+)\0([^\0]+)",zfs.sync.inherit)
local e=r:match("[1-9]%d*")
if e then return no(e,d) end
return ""
"""
)

#: argv: dataset or snapshot, property names.
PROPERTIES: Final = _PRELUDE + (
    r"""
if not zfs.exists(a[1]) then return no(ENOENT,a[1]) end
for i=2,#a do
local v,f=zfs.get_prop(a[1],a[i])
add(v,f)
end
return table.concat(o,";")
"""
)

#: argv: dataset, number of parts, which of them, rows and bytes of a page. Names are relative.
#: "+COUNT": more than a page; ask for parts. The part of a child depends on its name alone, so that
#: what comes and goes between two pages makes no other child appear twice or never.
CHILDREN: Final = _PRELUDE + (
    r"""
local d=a[1]
local parts,part,rows,bytes=tonumber(a[2]),tonumber(a[3]),tonumber(a[4]),tonumber(a[5])
if not zfs.exists(d) then return no(ENOENT,d) end
local n,m,z=0,0,0
local function mine(c)
if parts==1 then return true end
local h=0
for _,b in ipairs{c:byte(#d+2,-1)} do h=(h*31+b)%65521 end
return h%parts==part
end
for c in zfs.list.children(d) do
n=n+1
if m<=rows and z<=bytes and mine(c) and zfs.get_prop(c,"type")=="filesystem" then
m=m+1
z=z+add("d",c:sub(#d+2),(zfs.get_prop(c,"guid")),(zfs.get_prop(c,"origin")))
for p,v,f in zfs.list.user_properties(c) do
if p:sub(1,8)=="layerfs:" then z=z+add("p",p,v,f) end
end
for s in zfs.list.snapshots(c) do
z=z+add("s",s:sub(#c+2),(zfs.get_prop(s,"guid")),(zfs.get_prop(s,"userrefs")))
for k in zfs.list.clones(s) do z=z+add("c",k) end
end
end
end
if m>rows or z>bytes then return "+"..n end
return table.concat(o,";")
"""
)

FACTS: Final = _PRELUDE + (
    r"""
local d=a[1]
if not zfs.exists(d) then return no(ENOENT,d) end
add("d",d,(zfs.get_prop(d,"guid")),(zfs.get_prop(d,"origin")))
for c in zfs.list.children(d) do add("k",c) end
for s in zfs.list.snapshots(d) do
add("s",s,(zfs.get_prop(s,"guid")),(zfs.get_prop(s,"createtxg")))
for k in zfs.list.clones(s) do add("c",k) end
for t,w in zfs.list.holds(s) do add("h",t,w) end
end
return table.concat(o,";")
"""
)

#: argv: the last component of the one snapshot, datasets. zfs.check.destroy cannot tell a mounted
#: dataset from one with a snapshot (EBUSY both); zfs.check.rollback can, as it looks for users
#: before anything that a dataset of ours could fail on. Where the pool is too full for a rollback
#: (ENOSPC) it tells nothing, and a removal must be possible all the same.
REMOVE: Final = _PRELUDE + (
    r"""
local last=table.remove(a,1)
local here,before,own,there={},{},{},{}
for _,d in ipairs(a) do
if not here[d] and zfs.exists(d) then
here[d]=0
before[d]={}
there[#there+1]=d
end
end
local function first(c,d)
here[d]=here[d]+1
table.insert(before[c],d)
end
for _,d in ipairs(there) do
local e
local n=#o
for c in zfs.list.children(d) do
if here[c] then first(c,d) else add(d,"child",c) end
end
for b in zfs.list.bookmarks(d) do add(d,"bookmark",b) end
for s in zfs.list.snapshots(d) do
if s~=d.."@"..last then
add(d,"snapshot",s)
else
own[d]=s
local held=false
for t in zfs.list.holds(s) do
held=true
add(d,"hold",t,s)
end
for c in zfs.list.clones(s) do
if here[c] then first(c,d) else add(d,"clone",c) end
end
e=zfs.check.destroy(s)
if e==EBUSY and not held then add(d,"busy",s) end
end
end
if own[d] then
e=zfs.check.rollback(d)
if e==EBUSY or e==EAGAIN then
add(d,"busy",d)
elseif e~=0 and e~=EEXIST and e~=ENOSPC and e~=EDQUOT then
return no(e,d)
end
else
e=zfs.check.destroy(d)
if (e==EBUSY or e==EEXIST and here[d]==0) and #o==n then
add(d,"busy",d)
elseif e~=0 and e~=EBUSY and e~=EEXIST then
return no(e,d)
end
end
end
if #o>0 then return table.concat(o,";") end
local ready,order={},{}
for _,d in ipairs(there) do if here[d]==0 then ready[#ready+1]=d end end
while #ready>0 do
local d=table.remove(ready)
if own[d] then order[#order+1]=own[d] end
order[#order+1]=d
for _,p in ipairs(before[d]) do
here[p]=here[p]-1
if here[p]==0 then ready[#ready+1]=p end
end
end
local r=table.concat(order,"\0"):gsub("[^\0]+",zfs.sync.destroy)
local i=0
for e in r:gmatch("%d+") do
i=i+1
if e~="0" then return no(e,order[i]) end
end
return ""
"""
)
