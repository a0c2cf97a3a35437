"""What a site's informatician uses: survey, doctor, terminology, explain."""
