"""A small town whose isolations can be worked out by hand: network, valves, customers."""

from __future__ import annotations

#   R --P1-- A --P2-- B --P3-- C --P5-- T      T holds 20 m2 x 3 m above its lowest level
#            |                 |               B takes 2 L/s, C 3 L/s, D 1 L/s, on average
#            P4                P6
#            |                 |
#            E --P7--x         D               P7 joins E and B; its valve X at B is shut
NETWORK = """
[JUNCTIONS]
A 20 0
B 20 2
C 20 3
D 20 1
E 20 0
[RESERVOIRS]
R 70
[TANKS]
T 55 4 1 6 5.0462650441 0
[PIPES]
P1 R A 100 300 130 0 Open
P2 A B 100 300 130 0 Open
P3 B C 100 300 130 0 Open
P4 A E 100 300 130 0 Open
P5 C T 100 300 130 0 {p5}
P6 C D 100 300 130 0 Open
P7 E B 100 {p7} 130 0 Open
[TIMES]
Duration 24:00
Hydraulic Timestep 1:00
[OPTIONS]
Units LPS
Headloss H-W
[END]
"""
VALVES = """valve_id,link_id,near_node,operable,normally_closed
V1,P2,A,true,false
V2,P2,B,{v2},false
V3,P3,B,true,false
V4,P3,C,true,false
V5,P6,C,true,false
V6,P7,E,true,false
X,P7,B,true,true
"""
CUSTOMERS = """customer_id,connection_id,node_id,population,sensitive,language
ana,k1,B,3,none,pt
hospital,k2,C,1,hospital,pt
rui,k3,C,1,none,pt
eva,k4,D,2,none,pt
"""
