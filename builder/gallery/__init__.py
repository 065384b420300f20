"""Sealed shards → pictures for people: a folder to look at every image, and a sheet for a paper.

A judge, too: nothing here plans, draws or renders. `write.write_gallery` makes the folder, which
opens from disk in any browser: `page/` as it is, `data.js` with all that is asked of samples, and
sheets of thumbnails. `contact_sheet` makes the sheet.
"""
