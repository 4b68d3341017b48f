"""From a sweep file to a labelled cube of observables in Zarr."""
