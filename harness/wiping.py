"""The channel program that destroys a dataset with all below it, in one transaction group.

``zfs destroy -r`` takes a group, and a wait for the disk, for each dataset: minutes for a store of
some hundred layers on a slow machine. Sources: zfs-program(8).
"""

from __future__ import annotations

from typing import Final

#: Its argument is the dataset. Clones go before what they come from, as far as they are below it
#: too; anything in the way is an error, and what went until then is gone.
PROGRAM: Final = """
local root = (...)["argv"][1]
local begun = {}
local function all(iterator)
    local found = {}
    for one in iterator do found[#found + 1] = one end
    return found
end
local function destroy(name)
    local failed = zfs.sync.destroy(name)
    if failed ~= 0 then error(name .. ": " .. failed) end
end
local function wipe(name)
    if begun[name] then return end
    begun[name] = true
    for _, child in ipairs(all(zfs.list.children(name))) do wipe(child) end
    for _, snapshot in ipairs(all(zfs.list.snapshots(name))) do
        for _, clone in ipairs(all(zfs.list.clones(snapshot))) do
            if string.sub(clone, 1, #root + 1) == root .. "/" then wipe(clone) end
        end
        destroy(snapshot)
    end
    destroy(name)
end
wipe(root)
"""
#: Of instructions and bytes, the most that a program may be given.
LIMITS: Final = ("-t", "100000000", "-m", "104857600")
