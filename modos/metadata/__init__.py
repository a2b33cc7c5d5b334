"""What an object says of itself: the schema and its model, descriptions in files, linked data, differences."""
