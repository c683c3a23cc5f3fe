"""What cannot be taken: judged, told in lines, left aside where that is wanted."""
