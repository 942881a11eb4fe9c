# Restores an archive with Python's standard library and the module zstandard: extract.py ARCHIVE DIRECTORY
import os, sys, tarfile, zstandard


class Archive(tarfile.TarFile):
    extraction_filter = staticmethod(lambda member, path: member)  # Newer Pythons: owners, devices, all that there is.

    def makelink(self, member, path):
        if member.islnk():  # tarfile's own would look for what a symbolic link points to.
            os.link(os.path.join(sys.argv[2], member.linkname), path, follow_symlinks=False)
        else:
            super().makelink(member, path)


with open(sys.argv[1], "rb") as file:
    stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    Archive.open(fileobj=stream, mode="r|").extractall(sys.argv[2], numeric_owner=True)
