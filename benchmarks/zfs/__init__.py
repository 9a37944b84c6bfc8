"""The benchmark on ZFS: views of a chain of layers, beside others', in a virtual machine.

``__main__`` runs on the host: a machine with a pool, the peers in it, and the table. All that is
timed runs in the guest, in ``guest``: no connection is in any figure.
"""
