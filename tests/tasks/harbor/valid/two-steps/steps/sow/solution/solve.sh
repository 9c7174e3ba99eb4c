echo seed >/app/field
