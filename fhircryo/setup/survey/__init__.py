"""What a source holds and what is made of it: counted, compared with words, never mapped."""
