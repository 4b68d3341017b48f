"""From a stored cube to figures; nothing here simulates."""
