echo ko
